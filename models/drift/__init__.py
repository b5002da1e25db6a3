"""Drift: how far what a set reads and says now lies from what it was made on, beside limits made with it.

`stability` is the population stability index over bins; `reference` what a set keeps to be compared with; `limits` how
far each statistic goes when nothing drifts, from a block bootstrap of the windows of training; `making` puts the
reference together; `judging` compares a window with it. A set without a reference is not judged, and that is told.
"""
