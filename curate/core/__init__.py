"""Columns, stage protocols, configs, ledger, plan and store: what every other floor stands on."""
