"""The systematic sample of CDNOW customers to which the published estimates refer."""

from __future__ import annotations

import zlib
from base64 import b64decode
from itertools import accumulate

_GAPS = b64decode(
    "eNodltlyxDoOQ4uLVorUZneSuneq5v+/ctDzlJTdtiTgALSG/Kfb/COizWdS7O6Jc/P0rMm3Non32Wr032CPGEt5y7+FZ7M71tqX1Dm1/B5+"
    "aecT6Zit+cMPzXEul8KBt5R4Y1Mnn1K1zGS9zCHOZUqqvresFH3oojLZsLhqKzUzKe3eyszZJLE8bS+x7NeFwtoaM3L8LdFDMxXhdOa95Epi"
    "WuwenulvJPrl1am+dUrnKLEIp2i5pKyefT7PWmM9teqrjH3Ryb3WPWmNkgLvPiqSUmEsvIy7aP7opVSNgp+rT75Gg7JaHS+PIaO7cll8Gmmr"
    "5TFu2lTCeB78l1Z89rh0TTtpzJenNYpjPaWjNc5y3ZKTVts38bjJ9mctprfkeldL2rA3uVPbOG3cZ1etMxJurIPDxfb8I1J5SOQRDFk6s+vd"
    "OmCHJM/Mo5VGhxL0/CQOmI1LeTPvvHRAS4Wyst5ZE3tOped4d66vbsXB8GNK3iXbD8uvvK3FnImTQPkpHHFDqPR5Rovba5cmpUJPe9aZO2Qv"
    "YED16PmDU2uWnkYpyqtEb1Fn+qS2YlvDvaH/vIsfztbz/MmRXd6xeual4tLfT+NaueahWc/X1DF9uQx4WXuRf3NtPFVLJixhjBMPUln6WqmR"
    "xrFwqLlW67diZfvCyhaZm8zX8Ey9xWm/C7d+a6w3BlEucT+13f0iE2I9CGxgGQ4zPYNuK2n+20fFsodXnqPMR+knpjHDlVKml9HSFEs7wXFL"
    "lqENvCjv1NKK9skAY6r/JvcPWVjW1DeAAeB8j+kvPWtPGR+xVcCrjkxtplZrTVLI0iw5wNxbQB8inHsHo9lomspADGHMuALExZMHyfF9Npf8"
    "AzlTa3m0nW0DlF3q3n7muI4/OmLzUFqWfDzqsg5eYYPh/V6fvwOPkjqdOzzJKqnkwjlPK5b5RJVcFxAqB5BsnY2zOHztlokTpXWjdKHUhsa/"
    "D/Txn49EbeuT/XennB1tROfQHroh1mF78Jwx8dEkLXxPYO7VW7w++GwPXwMRwTbsybgd2c5QrSV4/SYgQ5oM7t/k6C6uKaUA4FRrbynH0V4p"
    "fvRBLzSFd3BtJASUa+uKzBJ20QYkbTgXjTvXBd8NxxheJh7iNX3EFJoliB2LbeBXV8pdriKId0e+l8Xgaa9oVahr7lJt0UMwcYK6Ba5yUNnv"
    "me6ELWqViwulJDBdi6Z2Kmcy+pK1u8G1MT9byCD1lFaupfPLfjZwI09zvcVGFNtUbTKFfAa6/Y+7if+gbVHTk9i+fdrT9AcEETwwFpjLSDtK"
    "FK3jm6Ab/NA7aw+7re0zRkFD9iR8TeRdeNNgDfp2CNJ+IlpNkdGBAUzXg+Y71kxpzt2stGFt5HZ2kKOtRyinWHlF1qrCI/mEqC+h83Yp2f/m"
    "RQ699vTAz7WQFvR1ura+LVfquWisYZZKgz53ci+fWuSfmXUShgv2WRD60PZcGRNoQhHLEqOAs4VLgsGBHfSzsa24e6BzBMNpgKBnfgPTr9YM"
    "P7Z6RVDPKng1BieH1/+z+o2lq6YjH3Azm2+ZaqvVgQasCOHkL5lAvFU5rc+xZcPVb8p+JibwwpA6Ej7cMGvBPSvX0WMhUuZQ67cCBhfRjt4w"
    "DyixIiB+0o7ahJv7W1nn9eLIRm+r2diYko0b74I5wRdE1EGvyRh+ILh0TA6sFCitkSajdFD+BUO5YOyhKgMtdxyDBQvuvjQjMvv5McEXhctX"
    "AC+V3QNZz/wAohX32wH2Ix9pXKoub7Vr+o6oZznaCaV5eOCToWPLSECgA2xPJD3wTUKE7okz1zcQvbbpyIfHF4kqsf+8516iFYx2VM7dpgb2"
    "pUrDcPg4xmigK1wLPiW0sL5MSPdgiDVQGj5OQqf3rBC5IRkLHyvoJ6Aq7P8DEmFcEg=="
)  # differences between consecutive ids, compressed


def sample() -> set[str]:
    """Return the ids of the 2,357 customers in Fader and Hardie's systematic sample."""
    return {f"{number:05}" for number in accumulate(zlib.decompress(_GAPS))}
