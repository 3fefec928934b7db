// Fields of a time are filled in the viewer's zone. A form sends them in UTC, as it does without scripts.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const two = (number) => String(number).padStart(2, "0");
const noon = "12:00";

const inZone = (time) =>
  `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}T${two(time.getHours())}:${two(time.getMinutes())}`;
const inUtc = (time) => time.toISOString().slice(0, 16);

export function bindTimeFields() {
  for (const form of document.querySelectorAll("form")) {
    const times = [...form.querySelectorAll('input[type="datetime-local"]')];
    const day = form.querySelector('input[type="date"]');
    const clock = form.querySelector('input[type="time"]');
    if (!times.length && !(day && clock)) continue;
    for (const label of form.querySelectorAll("label")) label.textContent = label.textContent.replace("(UTC)", `(${zone})`);
    for (const field of times) if (field.value) field.value = inZone(new Date(`${field.value}Z`));
    if (day?.value) [day.value, clock.value] = inZone(new Date(`${day.value}T${clock.value || noon}Z`)).split("T");
    form.addEventListener("formdata", ({ formData }) => {
      for (const field of times) if (field.value) formData.set(field.name, inUtc(new Date(field.value)));
      if (!day?.value) return;
      const [date, time] = inUtc(new Date(`${day.value}T${clock.value || noon}`)).split("T");
      formData.set(day.name, date);
      formData.set(clock.name, time);
    });
  }
}
