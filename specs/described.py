"""Global switch for the descriptions of the models.

Only `packrat schema` shows them. Reading them from the source would add a tenth of a second to
every start, so that command sets the switch before it imports the models.
"""

wanted = False
