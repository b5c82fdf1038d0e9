"""The elements of organic molecular crystals (paper, eq. 30) as plain tables, keyed by symbol."""

# Single-bond covalent radii, Å (Cordero et al., Dalton Trans. 2008, 2832).
COVALENT_RADII = {
    "H": 0.31,
    "C": 0.76,
    "N": 0.71,
    "O": 0.66,
    "F": 0.57,
    "Cl": 1.02,
    "Br": 1.20,
    "I": 1.39,
    "P": 1.07,
    "S": 1.05,
    "B": 0.84,
    "Si": 1.11,
    "Se": 1.20,
    "As": 1.19,
}

# Standard atomic weights, amu (IUPAC 2021, abridged).
MASSES = {
    "H": 1.008,
    "C": 12.011,
    "N": 14.007,
    "O": 15.999,
    "F": 18.998,
    "Cl": 35.45,
    "Br": 79.904,
    "I": 126.90,
    "P": 30.974,
    "S": 32.06,
    "B": 10.81,
    "Si": 28.085,
    "Se": 78.971,
    "As": 74.922,
}

ATOMIC_NUMBERS = {
    "H": 1,
    "B": 5,
    "C": 6,
    "N": 7,
    "O": 8,
    "F": 9,
    "Si": 14,
    "P": 15,
    "S": 16,
    "Cl": 17,
    "As": 33,
    "Se": 34,
    "Br": 35,
    "I": 53,
}

SYMBOLS = {number: symbol for symbol, number in ATOMIC_NUMBERS.items()}
