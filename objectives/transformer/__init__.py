"""The parts of a Transformer, for every objective that reads sequences.

The formulas are those of Vaswani et al., "Attention Is All You Need" (2017), with normalisation before each sublayer
(Xiong et al., "On Layer Normalization in the Transformer Architecture", 2020). Shapes: ``B`` sequences, ``T`` queries
or target tokens, ``S`` keys or source tokens, ``W`` numbers a token (the width). ``present`` masks are ``True`` where
there is a token, ``False`` where there is padding; what padding holds never reaches a token.

Every module runs under ``torch.vmap`` with the same numbers, as long as its dropout is 0: it has no buffers, and no
control flow that depends on data. Import from the modules; this one imports no torch.
"""
