-- Placeholder of the branch wt-keys. The branch wt-recorded has the statements of this version.
SELECT 1;
