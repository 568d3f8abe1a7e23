"""What a trained LSTM did with a text, said exactly.

Pure functions over arrays: `trace` has every gate and state, `ledger` what each word wrote into the
memory and what is left of it, `lrp`, `decomposition`, `gradients` and `methods` what each word
counts for a class. `explanation` puts them together for a run and a text.
"""
