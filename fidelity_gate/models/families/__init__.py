"""The room of recursions. A family is one file and one line here."""

TABLE = {
    "hrm": "fidelity_gate.models.families.hrm:Hrm",
    "recurrent-transformer": "fidelity_gate.models.families.recurrent_transformer:RecurrentTransformer",
    "trm": "fidelity_gate.models.families.trm:Trm",
}
