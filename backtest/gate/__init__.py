"""The gate: whether a challenger may take the champion's place, or stand against being flat.

The *set* is judged on days neither side has seen (sound, alive, no catastrophe); the *recipe* by the predictions that
walking forward recorded, which are many more. Each file here is one family of gates, each gate one question.
"""
