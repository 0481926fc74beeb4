"""python -m flowkit.cli"""

from flowkit.cli.app import main

if __name__ == "__main__":
    main()
