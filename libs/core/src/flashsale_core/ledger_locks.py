"""Numbers of the advisory locks in the ledger. They are arbitrary, and no other program uses them on this database. Pure."""

RECEIVING = 7_305_808_869_231_217
"""Workers hold it shared while they write a batch; the keeper holds it alone when it closes an incarnation.

So a closed incarnation is closed for every batch that begins later, and no batch of before is still being written.
"""
ENABLING = 7_305_808_869_231_218
"""`flashsale webhook` holds it while it counts the enabled endpoints and enables another one."""
