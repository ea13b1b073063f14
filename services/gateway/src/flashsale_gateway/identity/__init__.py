"""Who is buying: what proves a buyer's identity, and what each kind of proof allows. No request waits for a network here."""
