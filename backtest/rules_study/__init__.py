"""Whether leverage and stop by volatility regime are worth anything: the same signals played under other terms."""
