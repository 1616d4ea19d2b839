/* SPDX-License-Identifier: Apache-2.0
 *
 * What a quantized model is checked with where nobody gives texts of his own: sentences of many kinds and lengths, written for this.
 */
#ifndef QUANTIZE_TEXTS_H
#define QUANTIZE_TEXTS_H

static const char *const quantize_texts[] = {
    "The ferry to the island leaves at seven in the morning and comes back after dark.",
    "How do I reset the password of my account?",
    "Photosynthesis turns light, water and carbon dioxide into sugar and oxygen.",
    "She tuned the old piano by ear, one string after the other.",
    "Quarterly revenue grew by twelve percent, mostly in the second half of the period.",
    "The function returns a pointer that the caller must free.",
    "Add the flour slowly and stir until there are no lumps left.",
    "A magnitude 5.6 earthquake was felt along the northern coast last night.",
    "best running shoes for flat feet",
    "The treaty was signed in 1648 and ended thirty years of war.",
    "My order arrived with the wrong size, and I would like to send it back.",
    "Antibiotics do not help against viruses, only against bacteria.",
    "Two trains leave their stations at the same time and meet after ninety minutes.",
    "The goalkeeper was sent off early in the second half.",
    "An index on the column makes the query faster but every insert slower.",
    "Rent has doubled in this part of town within ten years.",
    "What is the capital of Mongolia?",
    "The violin concerto opens with a long solo over soft strings.",
    "Insulin lets cells take sugar from the blood.",
    "Please find attached the signed contract and the invoice for March.",
    "The glacier has lost a third of its length since it was first measured.",
    "He planted beans between the rows of corn, as his grandfather had done.",
    "The court held that the clause was void because it had not been negotiated.",
    "memory leak in a loop that opens files",
    "Black holes are found by what their gravity does to nearby stars.",
    "The soup tastes of lemon grass, ginger and far too much salt.",
    "Turn left at the bakery, then it is the third door on the right.",
    "Vaccination rates fell in the two years after the campaign ended.",
    "The bridge was closed because cracks were found in two of its cables.",
    "Could you recommend a quiet hotel near the old harbour?",
    "A hash table keeps its promise only while its buckets are short.",
    "The children built a dam of stones and watched the brook rise behind it.",
    "Interest is due on the first of each month, whatever the balance.",
    "Octopuses can taste with their arms.",
    "The novel tells the story of three sisters who inherit a failing newspaper.",
    "Solar panels give less power when they are hot.",
    "I waited forty minutes, and then the driver cancelled.",
    "The compiler warns about a variable that is set but never used.",
    "Wolves came back to the valley, and the willows along the river grew again.",
    "The minister resigned after the report was published.",
    "is it safe to eat rice that was left out overnight",
    "The chess champion offered a draw on move nineteen.",
    "Copper conducts heat and electricity almost as well as silver does.",
    "The museum shows tools that are older than the last ice age.",
    "A tenant may be asked for a deposit of up to three months' rent.",
    "Fold the paper in half, then bring both corners to the middle.",
    "The satellite takes ninety-eight minutes to go round the earth once.",
    "Nobody at the airport could say where the luggage had gone.",
};
#define QUANTIZE_TEXTS (sizeof quantize_texts / sizeof *quantize_texts)

#endif
