"""`python -m coset`, as launchers of several processes start it."""

from coset.cli import main

if __name__ == "__main__":
    main()
