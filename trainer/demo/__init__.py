"""The demo's second half: a model trained on what `flowkit demo` has extracted, and the page that shows both."""
