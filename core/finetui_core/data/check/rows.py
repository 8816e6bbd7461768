"""What can be said of one row by itself."""

from finetui_core.data.check.findings import Hit
from finetui_core.data.conversation import Conversation, TextDocument


def row_hits(row: Conversation | TextDocument) -> list[Hit]:
    """Everything that the rules find in one row."""
    if isinstance(row, TextDocument):
        return []
    return [
        Hit("misplaced_system", f"$.messages[{index}].role", message.content[:80])
        for index, message in enumerate(row.messages)
        if index and message.role == "system"
    ]
