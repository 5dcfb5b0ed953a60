"""Starts every part of Restante on one machine, watches over them and stops them."""
