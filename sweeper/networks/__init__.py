"""Networks: their inputs, how they are trained, and what is read from them; nothing here knows Ray."""
