"""The public page of each sale, its live document and its event stream."""
