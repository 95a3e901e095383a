"""Networks: what carries them, who may use them, and what is made with them."""
