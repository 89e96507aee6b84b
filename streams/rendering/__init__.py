"""Text, tables and plots for people, shared by the command line, the console and the demo.

    terminal              safe text, and a console for standard output
    formats               percentages, amounts, dates and times as text
    field_types           bounds of published fields
    score_view            the fields of a score that are shown, checked
    alerts                one alert change, checked
    customer_page         the page of one customer, with parts from customer_payments and customer_experience
    risk_points           contributions of reasons in percentage points
    backtest              tables of a backtest; backtest_plot draws them
    experience            satisfaction, barriers and goals
    purchases             purchase forecasts; purchases_plot draws them
    retention             churn, retention and revenue; retention_plot draws them
    unreadable_properties  sentences about properties that could not be used
    plotting              style and file output of all plots

Nothing here reads Kafka. Tested by tests/streams/rendering and tests/laws/test_documented_*.py.
"""
