// Arrow keys move between the doors of a wall, as in a grid. Home and End lead to the ends of a row, with Ctrl of the wall.
export function bindWall() {
  document.addEventListener("keydown", (event) => {
    const door = event.target.closest(".door");
    if (!door || event.altKey || event.metaKey || event.shiftKey) return;
    const next = doorFrom(door, event.ctrlKey ? `Ctrl ${event.key}` : event.key);
    if (!next) return;
    event.preventDefault();
    next.focus();
  });
}

function doorFrom(door, key) {
  const doors = [...door.closest(".wall").querySelectorAll(".door")];
  const here = doors.indexOf(door);
  const row = doors.filter((one) => topOf(one) === topOf(door));
  switch (key) {
    case "ArrowLeft": return doors[here - 1];
    case "ArrowRight": return doors[here + 1];
    case "ArrowUp": return nearest(door, doors, doors.findLast((one) => topOf(one) < topOf(door)));
    case "ArrowDown": return nearest(door, doors, doors.find((one) => topOf(one) > topOf(door)));
    case "Home": return row.at(0);
    case "End": return row.at(-1);
    case "Ctrl Home": return doors.at(0);
    case "Ctrl End": return doors.at(-1);
  }
}

const topOf = (door) => door.parentElement.offsetTop;
const leftOf = (door) => door.parentElement.offsetLeft;

// The door in the row of another one that is nearest to a column.
function nearest(door, doors, other) {
  const row = other ? doors.filter((one) => topOf(one) === topOf(other)) : [];
  const distance = (one) => Math.abs(leftOf(one) - leftOf(door));
  return row.sort((one, another) => distance(one) - distance(another))[0];
}
