"""Faults: a layer between the exchange and its clients that strikes chosen messages, and knows no exchange's words.

`scenario` is what a file or the control port may ask for, `arming` counts messages and says which rule strikes,
`injector` carries a strike out, `control` is its port.
"""
