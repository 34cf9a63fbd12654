"""Recurrent memories as pure functions on torch tensors, a naive form beside each fast one (extra `torch`).

Shapes and names are those of flash-linear-attention: B batch, T time, H heads, K key and V value dimension, C chunk.
`q, k: [B, T, H, K]`, `v: [B, T, H, V]`, `beta: [B, T, H]`, `g: [B, T, H]` the logarithm of the decay (<= 0), or
`[B, T, H, K]` where every channel of the key decays by itself. A matrix memory is `[B, H, K, V]`, its rows the
coordinates of the key: writing is `S + k v^T`, reading is `S^T q`. `scale` multiplies q and is `K ** -0.5` by default.
Every operation takes `initial_state` and `output_final_state` and returns `(o, final_state)`.
"""
