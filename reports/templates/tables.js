// What a reader may do with a table. Everything works by keyboard, and without this script every table is whole.
const FILTERED_FROM = 15;  // rows; a shorter table is read at a glance, unless it asks to be filterable

// A click (or Enter, or Space) on a heading sorts each block of rows by that column; rows without a value stay last.
function makeSortable(table) {
  const headings = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
  headings.forEach((heading, column) => {
    const first = table.querySelector(`tbody td:nth-child(${column + 1})[data-sort]`);
    if (!first) return;
    const words = isNaN(first.dataset.sort);  // words from A on, numbers from the highest down
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    heading.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      const now = heading.getAttribute("aria-sort");
      const up = now === "none" ? words : now === "descending";
      for (const other of headings) if (other.hasAttribute("aria-sort")) other.setAttribute("aria-sort", "none");
      heading.setAttribute("aria-sort", up ? "ascending" : "descending");
      sortRows(table, column, up ? 1 : -1);
    });
  });
}

function sortRows(table, column, sign) {
  const key = row => row.cells[column].dataset.sort;
  const compare = (a, b) => {
    const [x, y] = [key(a), key(b)];
    if (x === undefined || y === undefined) return (x === undefined) - (y === undefined);
    return sign * (isNaN(x) || isNaN(y) ? x.localeCompare(y) : x - y);
  };
  for (const body of table.tBodies) body.append(...[...body.rows].sort(compare));
}

// A field above the table keeps the rows that hold every word in it, in capitals or not, and says how many they are.
function makeFilterable(table) {
  const rows = [...table.tBodies].flatMap(body => [...body.rows]);
  if (rows.length < FILTERED_FROM && !table.classList.contains("filterable")) return;
  const text = new Map(rows.map(row => [row, [...row.cells].map(cell => cell.textContent).join("\n").toLowerCase()]));
  const bar = document.createElement("p");
  const label = document.createElement("label");
  const field = document.createElement("input");
  const count = document.createElement("output");
  bar.className = "filter";
  field.type = "search";
  field.autocomplete = "off";
  label.append("Rows with ", field);
  bar.append(label, count);
  table.parentElement.before(bar);
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of rows) row.hidden = !words.every(word => text.get(row).includes(word));
    count.value = words.length ? `${rows.filter(row => !row.hidden).length} of ${rows.length} rows` : "";
  });
}

for (const table of document.querySelectorAll("table.sortable")) {
  makeFilterable(table);
  makeSortable(table);
}
