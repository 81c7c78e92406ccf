"""The stages of a backup, one kind a file, `forward` and `inverse` next to each other.

Forward:  collect -> chunk -> pack -> compress -> encrypt -> spool -> upload -> confirm
Reverse:  select -> upload -> spool -> encrypt -> compress -> pack -> chunk -> collect

What flows between them is in `items`; what one run's stages share is in `session`. Around them
stand `survey` before, `prune` and `notify` after, and the scopes and commands of a service.
"""
