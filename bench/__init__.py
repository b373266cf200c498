"""Speed figures, measured on this machine and printed: `python -m bench [NAME…]`. They judge nothing by themselves."""
