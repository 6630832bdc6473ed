// A click (or Enter, or Space) on a heading sorts each block of rows by that column; rows without a number stay last.
for (const table of document.querySelectorAll("table.sortable")) {
  const headings = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
  headings.forEach((heading, column) => {
    if (!table.querySelector(`tbody td:nth-child(${column + 1})[data-sort]`)) return;
    const button = document.createElement("button");
    button.append(...heading.childNodes);
    heading.append(button);
    heading.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      const words = isNaN(table.querySelector(`td:nth-child(${column + 1})[data-sort]`).dataset.sort);
      const first = words ? "ascending" : "descending";
      const sign = (heading.getAttribute("aria-sort") === first) === words ? -1 : 1;
      for (const other of headings) if (other.hasAttribute("aria-sort")) other.setAttribute("aria-sort", "none");
      heading.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      const key = row => row.cells[column].dataset.sort;
      const compare = (a, b) => {
        const [x, y] = [key(a), key(b)];
        if (x === undefined || y === undefined) return (x === undefined) - (y === undefined);
        return sign * (isNaN(x) || isNaN(y) ? x.localeCompare(y) : x - y);
      };
      for (const body of table.tBodies) body.append(...[...body.rows].sort(compare));
    });
  });
}
