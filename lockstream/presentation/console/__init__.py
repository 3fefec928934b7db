"""The operators' console: pages in the browser, at `/console`.

`entry` loads the console. Start at `application`, which finds the page of a request. `session` knows who is signed in.
`api` asks the operations of the HTTP API in the same process, so a page shows what the API shows and nothing else.
`csv_files` sends a whole list as a file. `forms` reads the body of a form. `rendering` fills the templates of
`templates/`, with the pictures of `pictures` and the texts of `texts`; `refusals` has those about codes of the
quarantine, and `runbook` those about problems. `files` serves `static/` and the colours of the installation. `pages/`
has one module a subject. May import `presentation.http` and everything below it.
"""
