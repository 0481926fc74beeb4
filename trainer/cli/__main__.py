"""`python -m trainer.cli`."""

from trainer.cli.app import main

if __name__ == "__main__":
    main()
