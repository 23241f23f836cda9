"""A whole sign-in in an environment that holds the wheel and what it requires, no more. Run by `test_build.py`.

Both ways: the magic without a person (it starts the sandbox's process), and the card's own flow with a scripted one.
"""

import os
from decimal import Decimal

from IPython.core.interactiveshell import InteractiveShell

from lexoffice_nb.errors import ApiError
from lexoffice_nb.sandbox import process

os.environ["LEXOFFICE_SANDBOX_PERSON"] = "demo"
shell = InteractiveShell.instance()
try:
    shell.run_line_magic("load_ext", "lexoffice_nb")
    shell.run_cell("%lexoffice_login").raise_error()
    session = shell.user_ns["lexoffice"]
    assert session.get("/v1/profile").json()["companyName"] == "Muster & Söhne GmbH"
    filters = {"voucherType": "invoice", "voucherStatus": "any"}
    page = session.get("/v1/voucherlist", params=filters).json()
    assert page["totalElements"] == 240
    assert isinstance(page["content"][0]["totalAmount"], Decimal)
    assert session.userinfo()["name"] == "Erika Muster"
    paid = session.voucherlist(voucherType="invoice", voucherStatus="paid").first()
    said = ""
    try:
        session.invoices.file(paid.id)
    except ApiError as error:
        said = str(error)
    assert "pip install 'lexoffice_nb[papers]'" in said, said  # what makes files is an extra
    shell.run_cell("%lexoffice_logout").raise_error()
    assert "lexoffice" not in shell.user_ns

    from lexoffice_nb.notebook.login_flow import LoginFlow, SignInRequest
    from lexoffice_nb.notebook.login_widget import LoginWidget
    from lexoffice_nb.oauth.tokens import Secret
    from lexoffice_nb.sandbox.person import sign_in

    flow = LoginFlow(SignInRequest())
    card = LoginWidget(flow)  # its script and style are in the wheel
    flow.prepare()
    flow.answer(Secret(sign_in(flow.link)))
    assert flow.state == "signed_in", flow.problem
    assert flow.session.get("/v1/profile").status_code == 200
    assert flow.session.logout() == []
    card.close()
finally:
    process.stop()
