"""Searches, one plugin a file: what to try next, as pure functions of the seed and the results so far.

Nothing here knows Ray. A proposal for trial *i* is drawn from a generator seeded by (seed, i) and may
look at the pipelines proposed before it and at the observations it is handed, so that the same seed
gives the same sweep whatever the number of workers. :class:`sweeper.api.Search` says what a plugin declares,
``docs/add_a_search.md`` how to write one.
"""
