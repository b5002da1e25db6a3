"""The hand: what a person, or the exchange itself, does to the account behind its trader's back."""
