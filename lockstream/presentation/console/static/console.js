// Makes a page live: each part works without the others, and every page works without any of them.
import { showTheme } from "./appearance.js";
import { bindCopyButtons } from "./copying.js";
import { openDialogs } from "./dialogs.js";
import { bindKeys } from "./keys.js";
import { growFeed } from "./feed.js";
import { followLists } from "./lists.js";
import { followFeed } from "./live.js";
import { bindMoment } from "./moment.js";
import { searchWhileTyping } from "./searching.js";
import { bindTimeFields } from "./time_fields.js";
import { keepTimes } from "./times.js";
import { bindWall } from "./wall.js";

keepTimes();
bindTimeFields();
showTheme();
bindKeys();
openDialogs();
bindCopyButtons();
followLists();
bindMoment();
bindWall();
growFeed();
searchWhileTyping();
followFeed();
