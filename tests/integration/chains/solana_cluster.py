"""A cluster of Solana in this process: the real virtual machine and programs, behind JSON-RPC over HTTP.

Instructions are assembled byte by byte from the programs' documented layouts.
"""

import base64
import json
from collections.abc import Callable
from typing import Any

from solders.account import Account
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.litesvm import LiteSVM
from solders.pubkey import Pubkey
from solders.system_program import ID as SYSTEM
from solders.system_program import CreateAccountParams, TransferParams, create_account, transfer
from solders.token.associated import get_associated_token_address
from solders.transaction import Transaction
from solders.transaction_metadata import FailedTransactionMetadata

from tests.integration.chains.loopback import Answer

TOKEN = Pubkey.from_string("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA")
TOKEN_2022 = Pubkey.from_string("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb")
ASSOCIATED = Pubkey.from_string("ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL")
MINT_BYTES, ACCOUNT_BYTES, MINT_WITH_FEE_BYTES = 82, 165, 278
SOL = 1_000_000_000


def _u64(number: int) -> bytes:
    return number.to_bytes(8, "little")


class SolanaCluster:
    """Wallets, mints and token accounts; `handle` answers JSON-RPC."""

    def __init__(self) -> None:
        self.svm = LiteSVM()
        self.payer = Keypair()
        self.svm.airdrop(self.payer.pubkey(), 1_000 * SOL)
        clock = self.svm.get_clock()
        clock.unix_timestamp = 1_700_000_000
        self.svm.set_clock(clock)
        self.requests: list[dict[str, Any]] = []
        self.keeps_ledger = True
        self.most_accounts = 100
        self.spoil: Callable[[dict[str, Any], Any], Any] = lambda _, result: result

    @property
    def slot(self) -> int:
        return int(self.svm.get_clock().slot)

    # --- what happens on chain ---

    def send(self, *instructions: Instruction, signers: list[Keypair] | None = None) -> None:
        self.svm.expire_blockhash()
        signing = [self.payer, *(signers or [])]
        transaction = Transaction.new_signed_with_payer(
            list(instructions), self.payer.pubkey(), signing, self.svm.latest_blockhash()
        )
        result = self.svm.send_transaction(transaction)
        assert not isinstance(result, FailedTransactionMetadata), result

    def wallet(self, lamports: int = 0) -> Keypair:
        keypair = Keypair()
        if lamports:
            self.svm.airdrop(keypair.pubkey(), lamports)
        return keypair

    def mint(self, decimals: int, program: Pubkey = TOKEN, fee_basis_points: int | None = None) -> Pubkey:
        """A new mint whose authority is the payer; with a transfer fee on Token-2022."""
        keypair = Keypair()
        instructions = [self._create(keypair, MINT_BYTES if fee_basis_points is None else MINT_WITH_FEE_BYTES, program)]
        authority = bytes(self.payer.pubkey())
        if fee_basis_points is not None:
            data = b"\x1a\x00" + (b"\x01" + authority) * 2 + fee_basis_points.to_bytes(2, "little") + _u64(2**64 - 1)
            instructions.append(Instruction(program, data, [AccountMeta(keypair.pubkey(), False, True)]))
        data = b"\x14" + bytes([decimals]) + authority + b"\x01" + authority
        instructions.append(Instruction(program, data, [AccountMeta(keypair.pubkey(), False, True)]))
        self.send(*instructions, signers=[keypair])
        return keypair.pubkey()

    def associated(self, wallet: Pubkey, mint: Pubkey, program: Pubkey = TOKEN) -> Pubkey:
        """The associated token account, created if need be."""
        account = get_associated_token_address(wallet, mint, program)
        self.send(
            Instruction(
                ASSOCIATED,
                b"\x01",
                [
                    AccountMeta(self.payer.pubkey(), True, True),
                    AccountMeta(account, False, True),
                    AccountMeta(wallet, False, False),
                    AccountMeta(mint, False, False),
                    AccountMeta(SYSTEM, False, False),
                    AccountMeta(program, False, False),
                ],
            )
        )
        return account

    def another_account(self, wallet: Pubkey, mint: Pubkey, program: Pubkey = TOKEN) -> Pubkey:
        """A token account of the wallet beside the associated one."""
        keypair = Keypair()
        initialize = Instruction(
            program,
            b"\x12" + bytes(wallet),
            [AccountMeta(keypair.pubkey(), False, True), AccountMeta(mint, False, False)],
        )
        self.send(self._create(keypair, ACCOUNT_BYTES, program), initialize, signers=[keypair])
        return keypair.pubkey()

    def mint_to(self, mint: Pubkey, account: Pubkey, amount: int, program: Pubkey = TOKEN) -> None:
        self._token(program, b"\x07" + _u64(amount), [(mint, True), (account, True)], self.payer)

    def freeze(self, mint: Pubkey, account: Pubkey) -> None:
        self._token(TOKEN, b"\x0a", [(account, True), (mint, False)], self.payer)

    def give_away(self, account: Pubkey, owner: Keypair, new_owner: Pubkey) -> None:
        self._token(TOKEN, b"\x06\x02\x01" + bytes(new_owner), [(account, True)], owner)

    def transfer_with_fee(
        self, mint: Pubkey, source: Pubkey, owner: Keypair, target: Pubkey, amount: int, decimals: int
    ) -> None:
        data = b"\x0c" + _u64(amount) + bytes([decimals])
        self._token(TOKEN_2022, data, [(source, True), (mint, False), (target, True)], owner)

    def wrap(self, wallet: Keypair, native_mint: Pubkey, lamports: int) -> Pubkey:
        rent = self.svm.minimum_balance_for_rent_exemption(MINT_BYTES)
        no_authority = bytes(36)
        data = no_authority + _u64(0) + b"\x09\x01" + no_authority  # as the main network has it from the start
        self.svm.set_account(native_mint, Account(lamports=rent, data=data, owner=TOKEN))
        account = self.associated(wallet.pubkey(), native_mint)
        self.pay(wallet, account, lamports)
        self._token(TOKEN, b"\x11", [(account, True)], None)
        return account

    def pay(self, source: Keypair, target: Pubkey, lamports: int) -> None:
        params = TransferParams(from_pubkey=source.pubkey(), to_pubkey=target, lamports=lamports)
        self.send(transfer(params), signers=[source])

    def _create(self, keypair: Keypair, space: int, program: Pubkey) -> Instruction:
        return create_account(
            CreateAccountParams(
                from_pubkey=self.payer.pubkey(),
                to_pubkey=keypair.pubkey(),
                lamports=self.svm.minimum_balance_for_rent_exemption(space),
                space=space,
                owner=program,
            )
        )

    def _token(
        self, program: Pubkey, data: bytes, accounts: list[tuple[Pubkey, bool]], authority: Keypair | None
    ) -> None:
        metas = [AccountMeta(account, False, writable) for account, writable in accounts]
        if authority is not None:
            metas.append(AccountMeta(authority.pubkey(), True, False))
        signers = [] if authority in (None, self.payer) else [authority]
        self.send(Instruction(program, data, metas), signers=signers)  # type: ignore[arg-type]

    # --- what the node says ---

    async def handle(self, _path: str, body: bytes) -> Answer:
        request = json.loads(body)
        self.requests.append(request)
        envelope = {"jsonrpc": "2.0", "id": request["id"]}
        outcome = self.spoil(request, self._answer(request["method"], request["params"]))
        if isinstance(outcome, Answer):
            return outcome
        return Answer(envelope | outcome)

    def _answer(self, method: str, params: list[Any]) -> dict[str, Any]:
        options = params[-1] if isinstance(params[-1], dict) else {}
        if options.get("minContextSlot", 0) > self.slot:
            data = {"contextSlot": self.slot}
            return {"error": {"code": -32016, "message": "Minimum context slot has not been reached", "data": data}}
        context = {"apiVersion": "3.1.11", "slot": self.slot}
        match method:
            case "getLatestBlockhash":
                blockhash = str(self.svm.latest_blockhash())
                return {"result": {"context": context, "value": {"blockhash": blockhash, "lastValidBlockHeight": 1}}}
            case "getBlockTime":
                if not self.keeps_ledger:
                    return {"error": {"code": -32004, "message": f"Block not available for slot {params[0]}"}}
                return {"result": self.svm.get_clock().unix_timestamp}
            case "getMultipleAccounts":
                if len(params[0]) > self.most_accounts:
                    message = f"Too many inputs provided; max {self.most_accounts}"
                    return {"error": {"code": -32602, "message": message}}
                accounts = [self.svm.get_account(Pubkey.from_string(address)) for address in params[0]]
                return {"result": {"context": context, "value": [_shown(account) for account in accounts]}}
            case "getTokenAccountsByOwner":
                program, owner = Pubkey.from_string(params[1]["programId"]), Pubkey.from_string(params[0])
                rows = [
                    {"pubkey": str(address), "account": _shown(account)}
                    for address, account in self.svm.get_program_accounts(program)
                    if len(account.data) >= ACCOUNT_BYTES
                    and (len(account.data) == ACCOUNT_BYTES or account.data[ACCOUNT_BYTES] == 2)
                    and account.data[32:64] == bytes(owner)
                ]
                return {"result": {"context": context, "value": rows}}
            case _:
                return {"error": {"code": -32601, "message": "Method not found"}}


def _shown(account: Account | None) -> dict[str, Any] | None:
    if account is None or (account.lamports == 0 and not account.data):
        return None
    return {
        "data": [base64.b64encode(account.data).decode(), "base64"],
        "executable": account.executable,
        "lamports": account.lamports,
        "owner": str(account.owner),
        "rentEpoch": account.rent_epoch,
        "space": len(account.data),
    }
