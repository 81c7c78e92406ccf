"""The stages of a backup, one kind a file, `forward` and `inverse` next to each other.

Forward:  survey -> preflight -> command -> warm -> [containers: collect] -> chunk -> pack
          -> compress -> encrypt -> spool -> { catch_up -> upload -> confirm -> prune } each
Reverse:  select -> upload -> spool -> encrypt -> compress -> pack -> chunk -> [containers: collect]

What flows between them is in `items`; what one run's stages share is in `session`; what must be put
back when a run dies is in `journal`. Below are what the stages stand on: `source` and `target`, the
two ends of `collect`, and `service`, what a service lives in.
"""
