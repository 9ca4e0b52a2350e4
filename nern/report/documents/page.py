"""The style and the script of an HTML page: plain CSS and JavaScript, for any width, light and dark."""

STYLE = """
:root { color-scheme: light dark; --ink: #1c1e21; --paper: #fff; --soft: #3c4146; --pale: #8a9096; --line: #c4c8cc;
        --hover: #f2f5f8; }
@media screen and (prefers-color-scheme: dark) {
  :root { --ink: #e4e7ea; --paper: #17191c; --soft: #b6bcc2; --pale: #868d94; --line: #454b52; --hover: #24282d; }
}
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 2rem auto;
       padding: 0 1.25rem; width: fit-content; max-width: min(88rem, 100%); overflow-wrap: break-word; }
h1 { font-size: 1.5rem; margin: 0 0 1rem; line-height: 1.25; }
h2 { font-size: 1.15rem; margin: 2.25rem 0 .75rem; }
.wide { overflow-x: auto; position: relative; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; border: solid; border-width: 2px 0; }
th, td { padding: .25rem .65rem; text-align: left; vertical-align: bottom; }
td { white-space: nowrap; }
td.wraps { white-space: normal; min-width: 20rem; }
th { font-weight: 600; line-height: 1.25; }
.number { text-align: right; }
th.group { text-align: center; }
th.group span { display: block; border-bottom: 1px solid var(--pale); padding-bottom: .25rem; }
.first { padding-left: 1.2rem; }
thead tr:last-child th { border-bottom: 1px solid; }
tr.part td { border-top: 1px solid var(--line); }
tbody tr:hover { background: var(--hover); }
.again { color: transparent; }
tr:hover .again { color: var(--pale); }
sup { position: absolute; font-size: .7em; line-height: 1.2; padding-left: .1em; }
.notes { font-size: .875rem; color: var(--soft); max-width: 58rem; display: grid; margin: 1rem 0 0;
         grid-template-columns: max-content minmax(0, 1fr); gap: .15rem .9rem; }
.notes dt { font-weight: 600; }
.notes dd { margin: 0; overflow-wrap: anywhere; }
form { display: flex; flex-wrap: wrap; gap: .5rem 1.25rem; align-items: baseline; margin: 0 0 1rem; }
form[hidden] { display: none; }
select { font: inherit; max-width: 12rem; }
form output { color: var(--soft); }
figure { margin: 0 0 1.5rem; }
figure svg { max-width: max(100%, 46rem); height: auto; display: block; }
figcaption { font-size: .875rem; color: var(--soft); min-height: 3em; margin-top: .25rem; }
.says:is(:hover, :focus) { outline: 2px solid #d55e00; outline-offset: 2px; }
details { margin: 1rem 0 0; }
summary b { font-weight: 600; }
summary { cursor: pointer; padding: .25rem 0; }
thead tr:last-child th { cursor: pointer; }
th[aria-sort]::after { content: " ▲"; font-size: .65em; }
th[aria-sort=descending]::after { content: " ▼"; }
@media (max-width: 40rem) {
  body { margin: 1rem auto; padding: 0 .75rem; }
  th, td { padding: .25rem .4rem; }
  details td:first-child { white-space: normal; overflow-wrap: anywhere; min-width: 12rem; }
  .notes { grid-template-columns: minmax(0, 1fr); }
  .notes dd { margin: 0 0 .4rem; }
}
@media print { th[aria-sort]::after { content: ""; } form { display: none; } }
"""

SCRIPT = """
// A click on a column's name sorts by it; what is no number comes last, "< 0.001" as 0.001.
for (const table of document.querySelectorAll("table")) {
  const heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
  const text = (row, at) => row.cells[at].firstChild ? row.cells[at].firstChild.textContent : "";
  const plain = (row, at) => text(row, at).replace("\\u2212", "-").replace("< ", "").replaceAll(",", "");
  const number = (row, at) => parseFloat(plain(row, at));
  heads.forEach((head, at) => {
    head.tabIndex = 0;
    head.title = "sort by " + head.textContent;
    const sort = () => {
      const sign = head.ariaSort === "ascending" ? -1 : 1;
      heads.forEach(other => other.removeAttribute("aria-sort"));
      head.ariaSort = sign > 0 ? "ascending" : "descending";
      const rows = [...table.tBodies[0].rows];
      rows.sort((one, other) => {
        if (!head.classList.contains("number"))
          return sign * text(one, at).localeCompare(text(other, at), "en", { numeric: true });
        const [a, b] = [number(one, at), number(other, at)];
        return isNaN(a) || isNaN(b) ? isNaN(a) - isNaN(b) : sign * (a - b);
      });
      rows.forEach(row => {
        row.classList.remove("part");
        [...row.cells].forEach(cell => cell.classList.remove("again"));
      });
      table.tBodies[0].append(...rows);
    };
    head.addEventListener("click", sort);
    head.addEventListener("keydown", event => { if (event.key === "Enter") sort(); });
  });
}
// A point of a figure says what it is where the mouse is, or the focus, which the arrow keys move.
for (const figure of document.querySelectorAll("figure")) {
  const points = [...figure.querySelectorAll(".says")];
  points.forEach((point, at) => {
    const say = () => { figure.querySelector("output").textContent = point.querySelector("title").textContent; };
    point.tabIndex = at ? -1 : 0;
    point.addEventListener("mouseenter", say);
    point.addEventListener("focus", say);
    point.addEventListener("keydown", event => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (step) points[(at + step + points.length) % points.length].focus();
    });
  });
}
// The filters above a table leave the rows that have all that is chosen.
for (const form of document.forms) {
  const rows = [...form.parentElement.querySelectorAll("tbody tr")];
  const filter = () => {
    const chosen = [...form.elements].filter(element => element.value && element.name);
    rows.forEach(row => { row.hidden = chosen.some(choice => row.dataset[choice.name] !== choice.value); });
    const shown = rows.filter(row => !row.hidden);
    form.querySelector("output").textContent = shown.length + " of " + rows.length + " shown";
    for (const part of form.parentElement.querySelectorAll("details")) {
      const inside = shown.filter(row => part.contains(row)).length;
      part.querySelector("summary b").textContent = inside;
      part.hidden = inside === 0;
      if (chosen.length && inside === shown.length) part.open = true;
    }
  };
  form.hidden = false;
  form.addEventListener("change", filter);
  filter();
}
"""
