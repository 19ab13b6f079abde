"use strict";

// A cell's number, its text where the column holds none, null for "no value".
function sortValue(row, column) {
  const cell = row.cells[column];
  if (cell.dataset.value === undefined) return cell.textContent;
  return cell.dataset.value === "" ? null : Number(cell.dataset.value);
}

function compareValues(a, b) {
  return typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) : a - b;
}

// Rows without a value stay last in both directions.
function sortTable(table, heading) {
  const column = heading.cellIndex;
  const body = table.tBodies[0];
  const numeric = body.rows.length > 0 && body.rows[0].cells[column].dataset.value !== undefined;
  const old = heading.getAttribute("aria-sort");
  const order = old === null ? (numeric ? "descending" : "ascending")
    : old === "ascending" ? "descending" : "ascending";
  const sign = order === "ascending" ? 1 : -1;
  const entries = Array.from(body.rows, (row) => [sortValue(row, column), row]);
  entries.sort(([a], [b]) => (a === null) - (b === null) || (a === null ? 0 : sign * compareValues(a, b)));
  body.append(...entries.map((entry) => entry[1]));
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", order);
}

function searchRows(table, text, output) {
  const wanted = text.trim().toLowerCase();
  let found = 0;
  for (const row of table.tBodies[0].rows) {
    row.hidden = !row.cells[0].textContent.toLowerCase().includes(wanted);
    found += !row.hidden;
  }
  output.textContent = wanted ? `${found} of ${table.tBodies[0].rows.length}` : "";
}

for (const table of document.querySelectorAll("table")) {
  for (const heading of table.tHead.rows[0].cells) {
    heading.firstElementChild.addEventListener("click", () => sortTable(table, heading));
  }
}
const search = document.getElementById("search");
const searched = document.querySelector("table[data-searched]");
if (search) {
  search.addEventListener("input", () => searchRows(searched, search.value, document.getElementById("found")));
}
