"""How tensors are stored: packed encodings, strict safetensors, and the artifact made of them."""
