"""Everything that runs on Ray; no other package imports it."""

import logging
import warnings

# In a notebook Ray, and tqdm with it, recommend ipywidgets when they are imported; nothing here needs them.
logging.getLogger("ray.widgets.util").setLevel(logging.WARNING)
warnings.filterwarnings("ignore", message="IProgress not found")
