"""Telling programs outside what happened, as Standard Webhooks describes it.

`endpoints` holds what people and keys may do, `feeding` makes deliveries of events, `sending`
works them off, `posting` speaks to the receivers and `targets` says who may be one.
"""
