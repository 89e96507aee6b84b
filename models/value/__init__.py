"""Predict what a customer will be worth: customer lifetime value (CLV) from subscriptions or from purchases.

clv                       CLV, CLV at risk and revenue at risk of one customer
forecast_state            a partition's value forecasts per day, kept in its store
survival                  S(t) of subscriptions by plan: hazards of the life table, shrunk towards the overall hazard
bg_nbd                    BG/NBD: how often a customer buys again, from counts of customers in cells
gamma_gamma               Gamma-Gamma: the value of a purchase, from counts of customers in cells
mle                       maximum likelihood search for positive parameters
purchase_value            BG/NBD and Gamma-Gamma for one customer, discounted
purchase_counts           a partition's cells in its store, and the fit every four weeks
purchase_aggregates       the published cells of all partitions, added up and fitted
holdout                   BG/NBD and Gamma-Gamma compared with a holdout period of a file
repurchase_calibration    online calibration of the probability that a customer buys again
repurchase_backtest       weekly predictions of repurchase, raw and calibrated, compared with actual ones
"""

from __future__ import annotations

from models.value.bg_nbd import BgNbd, PurchaseCells, PurchaseHistory
from models.value.clv import CustomerValue, PurchaseValue, customer_value
from models.value.forecast_state import DailyForecasts, ForecastState, ValueForecast
from models.value.gamma_gamma import GammaGamma, SpendHistory, SpendingCells
from models.value.holdout import Forecast, PurchaseLog
from models.value.mle import NoEstimate
from models.value.purchase_aggregates import CellSnapshot, CellsValue, PurchaseSummary
from models.value.purchase_counts import FittedParameters, PurchaseCounter, PurchaseDelta
from models.value.purchase_value import PurchaseForecast, PurchaseValueModel
from models.value.repurchase_backtest import ReturnReport
from models.value.repurchase_calibration import ReturnCalibration
from models.value.survival import SubscriptionSurvival

__all__ = [
    "BgNbd",
    "CellSnapshot",
    "CellsValue",
    "CustomerValue",
    "DailyForecasts",
    "FittedParameters",
    "Forecast",
    "ForecastState",
    "GammaGamma",
    "NoEstimate",
    "PurchaseCells",
    "PurchaseCounter",
    "PurchaseDelta",
    "PurchaseForecast",
    "PurchaseHistory",
    "PurchaseLog",
    "PurchaseSummary",
    "PurchaseValue",
    "PurchaseValueModel",
    "ReturnCalibration",
    "ReturnReport",
    "SpendHistory",
    "SpendingCells",
    "SubscriptionSurvival",
    "ValueForecast",
    "customer_value",
]
