"""Switch for the descriptions of the models.

Only `packrat schema` shows them, and reading them out of the source would take a tenth of a second
of every start; so it says that it wants them before it imports the models.
"""

wanted = False
