"""What a person looks at: tables for the terminal, figures, and one HTML page.

    tables    rich renderables that the command line prints
    figures   matplotlib pictures: comparison, energy breakdown, sweep, balance of the PEs
    page      one HTML file with text, tables and pictures in it
    units     numbers as people read them

Nothing is imported here: matplotlib is loaded only by who draws.
"""
