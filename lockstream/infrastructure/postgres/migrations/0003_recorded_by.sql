-- The key that reported an event. It is null if the server ran without keys, as for all events before this version.
ALTER TABLE events ADD COLUMN recorded_by text COLLATE "C";
