"""`flashsale audit`: where the stores are, and how the audit's report is shown."""
