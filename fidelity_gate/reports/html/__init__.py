"""The HTML report: one self-contained page, made of plain views (what to show) and templates (how)."""
