-- Takes the rules away again (the migration's way back).
ALTER TABLE public.treasury_journalline DROP CONSTRAINT treasury_line_is_number;
DROP FUNCTION public.treasury_check_new_entries, public.treasury_check_posting, public.treasury_check_batch,
    public.treasury_check_new_lines, public.treasury_place_book, public.treasury_keep_book,
    public.treasury_check_closing, public.treasury_keep_reference, public.treasury_refuse_change,
    public.treasury_begin_posting, public.treasury_lock_fund CASCADE;
