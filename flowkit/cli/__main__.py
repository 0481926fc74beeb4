"""python -m flowkit.cli"""

from flowkit.cli import main

if __name__ == "__main__":
    main()
