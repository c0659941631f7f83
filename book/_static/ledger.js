// Filters of the ledger. They start from the address, as in ledger.html?paper=saturating&text=cnn
// or, from the page that judges them, ledger.html?page=saturating/table1
document.addEventListener("DOMContentLoaded", () => {
  const ledger = document.querySelector(".ledger");
  if (!ledger) return;
  const form = ledger.querySelector("form");
  // Not form.elements.item: that is the collection's own method.
  const fields = ["paper", "item", "page", "kind", "verdict", "text"].map((name) => form.querySelector(`[name=${name}]`));
  const [paper, item, page, kind, verdict, text] = fields;
  const rows = Array.from(ledger.querySelectorAll("tbody tr"), (row) => ({
    row,
    ...row.dataset,
    words: row.textContent.toLowerCase(),
  }));

  function offerItems() {
    const own = new Set(rows.filter((r) => !paper.value || r.paper === paper.value).map((r) => r.item));
    for (const option of item.options) option.hidden = option.disabled = option.value && !own.has(option.value);
    if (item.selectedOptions[0]?.disabled) item.value = "";
  }

  function show() {
    offerItems();
    const words = text.value.toLowerCase().split(/\s+/);
    let shown = 0;
    for (const r of rows) {
      const fits =
        (!paper.value || r.paper === paper.value) &&
        (!item.value || r.item === item.value) &&
        (!page.value || r.page.split(" ").includes(page.value)) &&
        (!kind.value || r.kind === kind.value) &&
        (!verdict.value || r.verdict === verdict.value) &&
        words.every((word) => r.words.includes(word));
      r.row.hidden = !fits;
      shown += fits;
    }
    form.querySelector("output").value = `${shown} of ${rows.length} targets`;
  }

  const asked = new URLSearchParams(location.search);
  for (const field of fields) field.value = asked.get(field.name) ?? "";
  for (const field of fields) if (field.selectedIndex === -1) field.value = ""; // asked for the unknown
  form.addEventListener("input", show);
  form.addEventListener("reset", () => setTimeout(show)); // after the fields are empty
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  show();
});
