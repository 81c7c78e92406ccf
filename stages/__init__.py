"""The stages of a backup, one kind per file, with `forward` and `inverse` next to each other.

Backup:   survey -> base -> source -> post_restore -> pre_backup -> warm -> stop -> collect -> start
          -> post_backup -> gather -> chunk -> pack -> compress -> encrypt -> spool
          -> { catch_up -> upload -> confirm -> prune } for each destination
Restore:  select -> locate -> download -> cut -> decrypt -> decompress -> unpack -> prove -> write,
          in place also -> stop -> swap -> start -> post_restore

The items that flow between them are in `items`, the facts and resources that they share in `facts`,
what the program gives a run in `given`, and what must be put back when a run dies in `journal`. The
packages below serve them: `source` and `restore_target` read and write files, `in_place` exchanges
trees, and `service` runs commands and containers.
"""
